"""Developer tools that build and check the course; learners never import them (see README.md)."""
