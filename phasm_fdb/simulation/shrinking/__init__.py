"""What is done about a failing run: it is shrunk to a short program, told in steps, and saved with a test."""
