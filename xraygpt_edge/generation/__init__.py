"""The language half: prompts into tokens and tokens into text; the owner of llama_cpp."""
