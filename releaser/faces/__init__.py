"""What people meet: command line, job, pages."""
