"""What the virtual world is made of: its loop, processes, database, faulty links, clients, hosts and outside world."""
