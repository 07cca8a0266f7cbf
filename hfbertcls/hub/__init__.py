"""The artefact online: accounts, commits and pushes to the Hugging Face Hub."""
