"""One site's training on several processors: a process each, and the same result as in one."""
