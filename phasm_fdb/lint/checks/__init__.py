"""What is looked for in the code that a machine reaches, one kind of finding a file."""
