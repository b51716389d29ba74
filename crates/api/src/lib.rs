//! Speak HTTP: resources, server-sent events, problems.
