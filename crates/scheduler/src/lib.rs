//! Place requests on machines over time (knows no money, no users, no network).
