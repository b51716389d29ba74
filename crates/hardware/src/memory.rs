//! Main memory, as the system counts it.

use primitives::Bytes;

/// What `/proc/meminfo` tells under `name`, such as `MemTotal`.
pub(crate) fn field(text: &str, name: &str) -> Option<Bytes> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let kibibytes: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1_024).map(Bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let text = "MemTotal:       32792004 kB\nMemFree:         1 kB\nMemAvailable:   20 kB\n\
                    HugePages_Total:       0\n";
        assert_eq!(field(text, "MemTotal"), Some(Bytes(32_792_004 * 1_024)));
        assert_eq!(field(text, "MemAvailable"), Some(Bytes(20_480)));
        assert_eq!(field(text, "Mem"), None);
        assert_eq!(field(text, "HugePages_Total"), None);
    }
}
