"""BUILD: backbones and heads."""
