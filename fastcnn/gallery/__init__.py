"""Pictures of finished runs: which kinds there are, what they show, and what is read off a run."""
