"""The wire behaviour that streamsafe promises, one file per source and section, one test per numbered item."""
