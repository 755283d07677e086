"""Example machines, each a package of its own: the machine, its handlers, its workload, its README."""
