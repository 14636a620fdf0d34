"""A world on loopback that behaves like the real one."""
