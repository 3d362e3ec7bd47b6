"""The networks that the methods of refinement share."""
