//! Scripts are played to the letter, on a clock that the test holds.
