//! What the first process of a jail tells the shim: sixteen bytes at a time, never torn.

use std::time::Duration;

/// The length of a word in bytes.
pub(super) const WORD: usize = 16;

/// Something that happened inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// A step failed, with this error number; nothing runs.
    Failed { step: Step, errno: i32 },
    /// The program's `exec` succeeded at this monotonic time.
    Started { at: Duration },
    /// The program ended with this wait status.
    Exited { status: i32 },
}

macro_rules! steps {
    ($($(#[$doc:meta])* $name:ident = $words:literal,)*) => {
        /// The steps of building a jail, in the order in which they are taken.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Step { $($(#[$doc])* $name,)* }

        impl Step {
            const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The step in words, for an error.
            pub(crate) const fn words(self) -> &'static str {
                match self { $(Self::$name => $words,)* }
            }
        }
    };
}

steps! {
    Plan = "planning",
    Pipes = "making pipes",
    Spaces = "making name spaces (are unprivileged user name spaces allowed?)",
    Map = "mapping the user",
    Cgroup = "joining the cgroup",
    Permit = "letting the jail go on",
    Private = "cutting mounts off from the host",
    CgroupSpace = "making a cgroup name space",
    Trees = "opening what is shown",
    Work = "opening the work folder",
    Devices = "opening the devices",
    Identity = "becoming the job's user",
    Root = "making the root folder",
    Place = "placing what is shown",
    Etc = "writing /etc",
    Proc = "mounting /proc",
    Mask = "covering parts of /proc",
    Dev = "filling /dev",
    Scratch = "mounting /tmp",
    Seal = "sealing the root folder",
    Pivot = "changing the root folder",
    Name = "naming the machine",
    Loopback = "raising the loopback",
    Landlock = "raising the Landlock wall",
    Rights = "dropping all capabilities",
    Silence = "closing the process to others",
    Parent = "tying the jail to its shim",
    Streams = "placing the streams",
    Filter = "installing the list of system calls",
    Fork = "starting a process",
    Exec = "executing the program",
    Load = "loading the compiled module",
}

impl Word {
    pub(crate) fn encode(self) -> [u8; WORD] {
        let (kind, value, long) = match self {
            Self::Failed { step, errno } => {
                let index = Step::ALL.iter().position(|it| *it == step).unwrap_or(0);
                (0u32, errno, index as u64)
            }
            Self::Started { at } => (1, 0, u64::try_from(at.as_nanos()).unwrap_or(u64::MAX)),
            Self::Exited { status } => (2, status, 0),
        };
        let mut bytes = [0; WORD];
        bytes[..4].copy_from_slice(&kind.to_ne_bytes());
        bytes[4..8].copy_from_slice(&value.to_ne_bytes());
        bytes[8..].copy_from_slice(&long.to_ne_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: [u8; WORD]) -> Option<Self> {
        let [k0, k1, k2, k3, v0, v1, v2, v3, long @ ..] = bytes;
        let value = i32::from_ne_bytes([v0, v1, v2, v3]);
        let long = u64::from_ne_bytes(long);
        match u32::from_ne_bytes([k0, k1, k2, k3]) {
            0 => {
                let step = *Step::ALL.get(usize::try_from(long).ok()?)?;
                Some(Self::Failed { step, errno: value })
            }
            1 => Some(Self::Started { at: Duration::from_nanos(long) }),
            2 => Some(Self::Exited { status: value }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_what_is_heard() {
        for step in Step::ALL {
            let word = Word::Failed { step: *step, errno: 13 };
            assert_eq!(Word::decode(word.encode()), Some(word));
        }
        for word in [Word::Started { at: Duration::from_nanos(7) }, Word::Exited { status: 256 }] {
            assert_eq!(Word::decode(word.encode()), Some(word));
        }
        assert_eq!(Word::decode([0xff; WORD]), None);
    }
}
