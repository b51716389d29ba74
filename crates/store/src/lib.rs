//! Keep bytes by digest, facts in order, and tables to query (the only room that speaks SQL).
