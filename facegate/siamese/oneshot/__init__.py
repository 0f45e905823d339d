"""One-shot recognition of drawn characters: the network of Koch, Zemel and Salakhutdinov, and its trials."""
