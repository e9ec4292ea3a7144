"""Options, digits, pairs and networks that several models of the family use."""
