"""SHIP: a trained model as a folder of data that predicts anywhere."""
