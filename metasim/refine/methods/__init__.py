"""The methods of refinement, a module each."""
