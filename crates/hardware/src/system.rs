//! The operating system, and whether it runs on a machine or on an imitation of one.

use serde::{Deserialize, Serialize};

/// What lies between the system and the bare machine, as far as it shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Virtualisation {
    /// Nothing shows; there may still be something.
    None,
    /// A hypervisor, by its maker.
    Hypervisor(String),
    /// A container, by its kind.
    Container(String),
}

/// The name in `/etc/os-release` (os-release(5)).
pub(crate) fn distribution(text: &str) -> Option<String> {
    let field = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
            .map(|value| value.trim().trim_matches(['"', '\'']).to_owned())
            .filter(|value| !value.is_empty())
    };
    field("PRETTY_NAME").or_else(|| field("NAME"))
}

/// Put the signs together: the maker of a hypervisor, the word `container` in the environment of the
/// first process, files that container tools leave.
pub(crate) fn virtualisation(
    hypervisor: Option<String>,
    container: Option<&str>,
    marks: &[(&'static str, bool)],
) -> Virtualisation {
    let marked = marks.iter().find(|(_, there)| *there).map(|(kind, _)| *kind);
    match (container.filter(|it| !it.is_empty()).or(marked), hypervisor) {
        (Some(kind), _) => Virtualisation::Container(kind.to_owned()),
        (None, Some(maker)) => Virtualisation::Hypervisor(maker),
        (None, None) => Virtualisation::None,
    }
}

/// The value of `container` in the text of `/proc/1/environ`.
pub(crate) fn container(environ: &str) -> Option<&str> {
    environ.split('\0').find_map(|pair| pair.strip_prefix("container="))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distribution_is_called_what_it_calls_itself() {
        let debian = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian GNU/Linux\"\n";
        assert_eq!(distribution(debian).as_deref(), Some("Debian GNU/Linux 12 (bookworm)"));
        assert_eq!(distribution("NAME=Alpine\nID=alpine\n").as_deref(), Some("Alpine"));
        assert_eq!(distribution("ID=x\nPRETTY_NAME=\n"), None);
    }

    #[test]
    fn a_container_shows_before_the_hypervisor_below_it() {
        let kvm = || Some("kvm".to_owned());
        let podman = container("PATH=/bin\0container=podman\0");
        assert_eq!(
            virtualisation(kvm(), podman, &[]),
            Virtualisation::Container("podman".to_owned())
        );
        let marks = [("podman", false), ("docker", true)];
        assert_eq!(
            virtualisation(None, None, &marks),
            Virtualisation::Container("docker".to_owned())
        );
        assert_eq!(
            virtualisation(kvm(), Some(""), &[]),
            Virtualisation::Hypervisor("kvm".to_owned())
        );
        assert_eq!(virtualisation(None, None, &[]), Virtualisation::None);
    }
}
