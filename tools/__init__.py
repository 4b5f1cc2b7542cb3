"""Developer tools: what builds and checks the course, and what no learner imports (see README.md)."""
