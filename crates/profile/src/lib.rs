//! What a network's constitution is: the sum of the rooms' rules, and presets of it.
