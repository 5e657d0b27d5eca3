"""`records.jsonl`: where answers and failures are kept, one line each."""
