"""Refinement: what makes renders look like target images, and keeps their labels true."""
