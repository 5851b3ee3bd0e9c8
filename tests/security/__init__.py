"""What the proxy defends, threat by threat: `test_checklist` says which file holds which number."""
