"""The Gradio Space of a model: rendered from its report, deployed, linked with its card."""
