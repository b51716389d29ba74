//! Decide from evidence whether work was done honestly.
