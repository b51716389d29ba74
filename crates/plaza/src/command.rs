//! What the user typed: every command and flag of `plaza`, as a table.
//!
//! Not here: what it means (`config`), doing it (one file per noun).

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use clap::{Args, Parser, Subcommand, ValueHint, builder::Styles};
use clap_complete::Shell;
use market::{Root, Wasm, Wish};
use primitives::{
    Address, Bytes, Fuel, Millicores, Resources, Seconds, parse_bytes, parse_seconds,
};

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "plaza",
    version,
    about = "A market for computing power: rent a machine by the second, or rent yours out.",
    styles = Styles::plain(),
    max_term_width = 100,
    after_help = "Examples:
  plaza run -- echo hello                      run a command on a rented machine, pay by the second
  plaza run --input data.csv -- wc -l data.csv send a file along
  plaza job submit sweep.yaml                  the same at many points, on many machines
  plaza job list                               what ran, what it cost
  plaza provider --join network.json           rent this machine out

Exit status: 0 done, 1 failed, 2 wrong usage; 'plaza run' and 'plaza job submit' tell how the job
ended (see their help)."
)]
pub(crate) struct Typed {
    /// The data folder [default: $XDG_DATA_HOME/plaza or ~/.local/share/plaza]
    #[arg(long, global = true, value_name = "DIR", env = "PLAZA_DATA")]
    pub(crate) data: Option<PathBuf>,

    /// Answer in JSON, one object
    #[arg(long, global = true)]
    pub(crate) json: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a command on a rented machine
    Run(RunFlags),
    /// Look at jobs, end them, fetch what they left
    #[command(subcommand)]
    Job(JobCommand),
    /// Look at what is for rent and what it costs
    #[command(subcommand)]
    Offer(OfferCommand),
    /// Create and use wallets
    #[command(subcommand)]
    Wallet(WalletCommand),
    /// Rent this machine out, or look after one that is rented out
    Provider(ProviderFlags),
    /// Look at the network
    #[command(subcommand)]
    Network(NetworkCommand),
    /// Start a whole network on this machine: chain, contracts, gateway, one provider
    Up(UpFlags),
    /// End the network on this machine; its data stays
    Down,
    /// Check what this machine can do, and say what to do about the rest
    Doctor,
    /// Print a completion script for a shell
    Completion {
        /// The shell
        shell: Shell,
    },
}

/// `plaza run`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  plaza run -- echo hello
  plaza run --input words.txt -- sort words.txt
  plaza run --input src --output build --cpus 2 --memory 2G -- sh -c 'make -C src && cp src/app out/'
  plaza run --max-price 0.20 --timeout 30m --json -- ./simulate
  plaza run --wasm -- ./tool.wasm ARGUMENTS        a WebAssembly module of this machine (WASI preview 1)
  plaza run --detach -- sleep 600          (then: plaza job logs --follow JOB)

Inputs appear in the working folder under their own names; what the command writes under ./out
comes back. The first Ctrl-C stops the job and settles what it used, a second one leaves it running.

Exit status: the command's own; 124 it ran into --timeout, 125 plaza or the network failed,
126 the command cannot be run, 127 it was not found, 130 you left it running.")]
pub(crate) struct RunFlags {
    /// A file or folder the command needs; may be given several times
    #[arg(long, value_name = "PATH")]
    pub(crate) input: Vec<PathBuf>,

    /// Where to put what the command leaves in ./out [default: ./plaza-out/JOB]
    #[arg(long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) wish: WishFlags,

    /// The most to pay, in dollars per hour [default: twice the cheapest offer]
    #[arg(long, value_name = "USD_PER_HOUR")]
    pub(crate) max_price: Option<String>,

    /// Running time after which the command is ended [default: 1h]
    #[arg(long, value_name = "DURATION", value_parser = span)]
    pub(crate) timeout: Option<Seconds>,

    /// The most bytes the command may print and leave in ./out [default: 1G]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) output_limit: Option<Bytes>,

    /// A variable for the command; may be given several times
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    pub(crate) env: Vec<(String, String)>,

    /// Pay in this session, which 'plaza wallet session' granted: the gateway signs
    #[arg(long, value_name = "ID")]
    pub(crate) session: Option<String>,

    /// Return as soon as the job is paid for and under way
    #[arg(long)]
    pub(crate) detach: bool,

    /// Say nothing but what the command prints and what goes wrong
    #[arg(long, short)]
    pub(crate) quiet: bool,

    #[command(flatten)]
    pub(crate) purse: PurseFlags,

    /// The command and its arguments
    #[arg(
        value_name = "COMMAND",
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub(crate) command: Vec<String>,
}

/// Which wallet pays.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct PurseFlags {
    /// The wallet to use [default: 'main' if there is one, else the local network's demo wallet]
    #[arg(long, value_name = "NAME")]
    pub(crate) wallet: Option<String>,

    /// A file whose first line is the wallet's passphrase [default: ask]
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
}

/// `plaza job`.
#[derive(Debug, Subcommand)]
#[command(after_help = "JOB is a job's id or its first digits (at least four).

Examples:
  plaza job submit sweep.yaml
  plaza job list
  plaza job tasks 3f2a
  plaza job logs 3f2a --task 12
  plaza job fetch 3f2a --output results
  plaza job receipt 3f2a")]
pub(crate) enum JobCommand {
    /// Order the work of a sheet, once or at many points, and follow it
    Submit(SubmitFlags),
    /// All jobs, newest first
    List,
    /// One job: where it stands, its deals, its tasks, what it costs
    View {
        /// The job
        job: String,
    },
    /// The tasks of a job, by index: who ran them, how they ended
    Tasks {
        /// The job
        job: String,
    },
    /// What a task of a job printed
    Logs {
        /// The job
        job: String,
        /// Which of its tasks
        #[arg(long, value_name = "N", default_value_t = 0)]
        task: u32,
        /// What it printed to standard error instead
        #[arg(long)]
        stderr: bool,
        /// Go on until the task is over
        #[arg(long, short)]
        follow: bool,
    },
    /// End a job; it is settled at what it used
    Cancel {
        /// The job
        job: String,
    },
    /// Bring back what a job left in ./out; of many tasks each into a folder named by its index
    Fetch {
        /// The job
        job: String,
        /// Where to put it [default: ./plaza-out/JOB]
        #[arg(long, value_name = "DIR")]
        output: Option<PathBuf>,
    },
    /// The bill of a job, deal by deal and in sum; with --json the signed papers, too
    Receipt {
        /// The job
        job: String,
    },
}

/// The machine wished, and whose it is not to be.
#[derive(Debug, Args)]
pub(crate) struct WishFlags {
    /// Processor cores, such as 2 or 0.5
    #[arg(long, value_name = "N", default_value = "1", value_parser = cores)]
    cpus: Millicores,

    /// Main memory, such as 512M or 2G
    #[arg(long, value_name = "SIZE", default_value = "512M", value_parser = size)]
    memory: Bytes,

    /// Scratch space, inputs and outputs included
    #[arg(long, value_name = "SIZE", default_value = "1G", value_parser = size)]
    disk: Bytes,

    /// Whole graphics processors
    #[arg(long, value_name = "N", default_value_t = 0)]
    gpus: u32,

    /// Their model, or a part of its name, such as H200
    #[arg(long, value_name = "MODEL", requires = "gpus")]
    gpu_model: Option<String>,

    /// The account of a provider that is not to have the job; may be given several times
    #[arg(long, value_name = "ACCOUNT")]
    exclude: Vec<Address>,

    /// The command is a WebAssembly module: a file of this machine, or a path among the inputs
    #[arg(long)]
    pub(crate) wasm: bool,

    /// The most fuel a module may burn, about one for each instruction [default: the time is the limit]
    #[arg(long, value_name = "N", requires = "wasm")]
    fuel: Option<u64>,

    /// A module comes to the same bytes and the same fuel on every machine: no real clock or randomness
    #[arg(long, requires = "wasm")]
    deterministic: bool,
}

impl WishFlags {
    pub(crate) fn wish(&self) -> Wish {
        let resources =
            Resources { cpu: self.cpus, memory: self.memory, disk: self.disk, gpus: self.gpus };
        Wish {
            gpu_model: self.gpu_model.clone(),
            exclude: self.exclude.iter().copied().collect(),
            root: self.root(),
            ..Wish::of(resources)
        }
    }

    fn root(&self) -> Root {
        let Self { wasm, fuel, deterministic, .. } = *self;
        if wasm { Root::Wasm(Wasm { fuel: fuel.map(Fuel), deterministic }) } else { Root::Host }
    }
}

/// `plaza job submit`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  plaza job submit sweep.yaml
  plaza job submit --dry-run sweep.yaml        (what would be ordered, what it would cost)
  plaza job submit --output results sweep.yaml (results/0, results/1, ...)

A sheet in full:
  command: [awk, -v, 'r={r}', -f, model.awk]   {r} is replaced; the environment has r and PLAZA_TASK
  env: {LC_ALL: C}
  inputs: [model.awk]                          files and folders, from where the sheet lies
  resources: {cpus: 0.5, memory: 64M, disk: 100M, gpus: 0}     of one task
  time_limit: 1m                               of one task
  output_limit: 1M                             of one task
  max_price: 0.20                              dollars per hour, of one deal
  budget: 1.50                                 dollars, the most that all deals put aside together
  array:
    sweep:                                     every combination; the first changes slowest
      r: {from: 2.8, to: 4, steps: 61}         61 values, both ends among them; exact decimals
      x: {from: 0, to: 1, step: 0.25}
      seed: [1, 2, 3]
    deals: 4                                   at the same time, with as many providers as there are
    at_once: 2                                 tasks at the same time in one deal
    deal_time_limit: 30m                       [default: enough for its share of the tasks]
Instead of sweep: 'points: [{r: 2.8, seed: 1}, {r: 3.5, seed: 9}]' or 'count: 100'. Only command is
needed; without array the work is done once.

The first Ctrl-C stops the job and settles what it used, a second one leaves it running.

Exit status: 0 every task ended with 0, 1 some failed, 125 plaza or the network failed, 130 you left
it running, 143 you stopped it.")]
pub(crate) struct SubmitFlags {
    /// The sheet, in YAML
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,

    /// Order nothing: print the tasks and what a deal would cost
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Bring back what each task leaves in ./out into DIR/INDEX
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) output: Option<PathBuf>,

    /// Open its deals in this session, which 'plaza wallet session' granted: the gateway signs, and
    /// you may leave
    #[arg(long, value_name = "ID")]
    pub(crate) session: Option<String>,

    /// Return as soon as the deals are paid for and under way
    #[arg(long)]
    pub(crate) detach: bool,

    /// Say nothing but what goes wrong
    #[arg(long, short)]
    pub(crate) quiet: bool,

    #[command(flatten)]
    pub(crate) purse: PurseFlags,
}

/// `plaza offer`.
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  plaza offer list
  plaza offer quote --cpus 2 --memory 4G --timeout 1h")]
pub(crate) enum OfferCommand {
    /// Everything for rent
    List,
    /// One offer
    View {
        /// The offer's digest or its first digits
        offer: String,
    },
    /// What a machine like this would cost, cheapest first, and why other offers do not fit
    Quote {
        #[command(flatten)]
        wish: WishFlags,
        /// The most to pay, in dollars per hour
        #[arg(long, value_name = "USD_PER_HOUR")]
        max_price: Option<String>,
        /// How long it is wanted [default: 1h]
        #[arg(long, value_name = "DURATION", value_parser = span)]
        timeout: Option<Seconds>,
    },
}

/// `plaza wallet`.
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  plaza wallet create
  plaza wallet balance
  plaza wallet deposit 5        (move 5 dollars into the escrow; deals are then paid from there)

A wallet is a standard encrypted Ethereum keystore file, readable by its owner only.")]
pub(crate) enum WalletCommand {
    /// Make a new wallet, encrypted with a passphrase
    Create {
        /// Its name
        #[arg(default_value = "main")]
        name: String,
        /// A file whose first line is the passphrase [default: ask]
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
    },
    /// Take over an existing private key
    Import {
        /// Its name
        #[arg(default_value = "main")]
        name: String,
        /// A file with the private key in hexadecimal digits, or an encrypted keystore file
        #[arg(long, value_name = "FILE")]
        key_file: PathBuf,
        /// A file whose first line is the passphrase [default: ask]
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
    },
    /// The wallets here and their accounts
    Show,
    /// What an account has
    Balance {
        /// The account [default: that of the wallet]
        account: Option<String>,
        #[command(flatten)]
        purse: PurseFlags,
    },
    /// Move money from the wallet into its balance inside the escrow
    Deposit {
        /// How much, in dollars
        amount: String,
        #[command(flatten)]
        purse: PurseFlags,
    },
    /// Let the gateway spend up to a cap while this wallet is away
    Session(SessionFlags),
    /// Move money from the balance inside the escrow back into the wallet
    Withdraw {
        /// How much, in dollars [default: all]
        amount: Option<String>,
        /// Into whose wallet [default: the own]
        #[arg(long, value_name = "ACCOUNT")]
        to: Option<String>,
        #[command(flatten)]
        purse: PurseFlags,
    },
}

/// `plaza wallet session`.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:
  plaza wallet deposit 5
  plaza wallet session --cap 5 --rate 0.50 --for 12h
  plaza run --session ID --detach -- ./simulate
  plaza wallet session list
  plaza wallet session revoke ID

In a session the gateway signs deals for you, from your balance inside the escrow. You can lose at
most the cap if gateway and provider collude."
)]
pub(crate) struct SessionFlags {
    #[command(subcommand)]
    pub(crate) command: Option<SessionCommand>,

    /// The most that may be held and spent, in dollars [default: the balance inside the escrow]
    #[arg(long, value_name = "USD")]
    pub(crate) cap: Option<String>,

    /// The highest price it may agree to, in dollars per hour [default: any]
    #[arg(long, value_name = "USD_PER_HOUR")]
    pub(crate) rate: Option<String>,

    /// How long it holds
    #[arg(long = "for", value_name = "DURATION", value_parser = span, default_value = "24h")]
    pub(crate) span: Seconds,

    #[command(flatten)]
    pub(crate) purse: PurseFlags,
}

/// What to do with the sessions there are.
#[derive(Debug, Subcommand)]
pub(crate) enum SessionCommand {
    /// The sessions granted here, and what they have left
    List,
    /// Let nothing open in a session any more; open deals end as agreed
    Revoke {
        /// The session's id or its first digits
        id: String,
        #[command(flatten)]
        purse: PurseFlags,
    },
}

/// `plaza provider`.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:
  plaza network view --descriptor > network.json    (on the gateway's machine)
  plaza provider --join network.json --policy policy.toml
  plaza provider --join network.json --rpc https://node.example --fees-from coins.key
  plaza provider status
  plaza provider withdraw"
)]
pub(crate) struct ProviderFlags {
    #[command(subcommand)]
    pub(crate) command: Option<ProviderCommand>,

    /// The network to join: a descriptor's file or URL
    #[arg(long, value_name = "DESCRIPTOR", required = true)]
    pub(crate) join: Option<String>,

    /// How to price this machine and how much of it to offer
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) chain: ChainFlags,
}

/// The variable that stands for `--rpc`: whatever is typed, others on this machine can read.
pub(crate) const RPC: &str = "PLAZA_RPC";

/// How a chain of somebody else's is reached, and who pays its fees.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct ChainFlags {
    /// The JSON-RPC of the chain to be on [default: a chain of its own, or through the gateway]
    #[arg(long, value_name = "URL", env = RPC, hide_env_values = true)]
    pub(crate) rpc: Option<String>,

    /// A file with a private key, whose account gives ours the coin for the chain's own fees
    #[arg(long, value_name = "FILE")]
    pub(crate) fees_from: Option<PathBuf>,
}

/// What can be asked of a provider that runs.
#[derive(Debug, Subcommand)]
pub(crate) enum ProviderCommand {
    /// What it offers, what runs on it
    Status,
    /// What it has earned
    Earnings,
    /// Move earnings from the escrow to the provider's account or another
    Withdraw {
        /// How much, in dollars [default: all]
        amount: Option<String>,
        /// Into whose wallet [default: the provider's own account]
        #[arg(long, value_name = "ACCOUNT")]
        to: Option<String>,
    },
    /// Take no more work, finish what runs
    Drain,
}

/// `plaza network`.
#[derive(Debug, Subcommand)]
pub(crate) enum NetworkCommand {
    /// Which network this is
    View {
        /// The signed descriptor itself, by which others join
        #[arg(long)]
        descriptor: bool,
    },
}

/// `plaza up`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  plaza up
  plaza up --foreground --data /tmp/try
  plaza up --no-provider        (providers join from elsewhere)
  plaza up --rpc https://node.example --fees-from coins.key       (on any EVM chain)

The network stays until 'plaza down'; starting it again on the same data keeps everything.")]
pub(crate) struct UpFlags {
    /// Stay in the foreground, and log to standard error
    #[arg(long)]
    pub(crate) foreground: bool,

    /// The port of the API [default: the former one, or any free]
    #[arg(long, value_name = "PORT")]
    pub(crate) port: Option<u16>,

    /// The address of this machine at which providers reach the network, such as 192.0.2.7 or
    /// 192.0.2.7:7701 [default: the former one, or loopback]; the API stays on loopback
    #[arg(long, value_name = "IP[:PORT]", value_parser = reached_at)]
    pub(crate) peers: Option<SocketAddr>,

    /// Without a provider of its own
    #[arg(long)]
    pub(crate) no_provider: bool,

    /// How to price this machine and how much of it to offer
    #[arg(long, value_name = "FILE", conflicts_with = "no_provider")]
    pub(crate) policy: Option<PathBuf>,

    /// The constitution of a new network: a preset's name or a file [default: local; with --rpc: evm]
    #[arg(long, value_name = "NAME|FILE")]
    pub(crate) profile: Option<String>,

    #[command(flatten)]
    pub(crate) chain: ChainFlags,

    /// Set by `plaza` itself when it starts a network in the background
    #[arg(long, hide = true)]
    pub(crate) detached: bool,
}

fn size(text: &str) -> Result<Bytes, String> {
    parse_bytes(text).map_err(|flaw| flaw.to_string())
}

fn span(text: &str) -> Result<Seconds, String> {
    parse_seconds(text).map_err(|flaw| flaw.to_string())
}

/// A number of cores as typed.
pub(crate) fn cores(text: &str) -> Result<Millicores, String> {
    let refuse = || format!("'{text}' is no number of cores: expected one such as 2 or 0.5");
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    if part.len() > 3 || (whole.is_empty() && part.is_empty()) {
        return Err(refuse());
    }
    let digits = format!("{whole}{part:0<3}");
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(refuse());
    }
    match digits.parse() {
        Ok(millicores) if millicores > 0 => Ok(Millicores(millicores)),
        _ => Err(refuse()),
    }
}

fn reached_at(text: &str) -> Result<SocketAddr, String> {
    let address = text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 0)).or_else(|_| text.parse());
    match address {
        Ok(address) if address.ip().is_unspecified() => {
            Err(format!("'{text}' is no address that others can dial: name one of this machine's"))
        }
        Ok(address) => Ok(address),
        Err(_) => Err(format!("'{text}' is no address: expected one such as 192.0.2.7:7701")),
    }
}

fn variable(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
    pair.map(|(name, value)| (name.to_owned(), value.to_owned()))
        .ok_or_else(|| format!("'{text}' is no variable: expected NAME=VALUE"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_table_of_flags_is_consistent() {
        Typed::command().debug_assert();
    }

    #[test]
    fn what_follows_the_dashes_belongs_to_the_command() {
        let typed = Typed::parse_from(["plaza", "run", "--cpus", "2", "--", "ls", "--json", "-l"]);
        assert!(!typed.json);
        let Command::Run(flags) = typed.command else { panic!("a run was typed") };
        assert_eq!(flags.command, ["ls", "--json", "-l"]);
        let wish = flags.wish.wish();
        assert_eq!(wish.resources.cpu, Millicores(2_000));
    }

    #[test]
    fn cores_are_read_in_thousandths() {
        for (text, millicores) in [("1", 1_000), ("0.5", 500), (".25", 250), ("16.125", 16_125)] {
            assert_eq!(cores(text), Ok(Millicores(millicores)), "{text}");
        }
        for wrong in ["", ".", "0", "-1", "1.0001", "one", "1e3", "+1"] {
            assert!(cores(wrong).is_err(), "{wrong} must be refused");
        }
    }

    #[test]
    fn a_provider_names_a_network_or_a_subcommand() {
        assert!(Typed::try_parse_from(["plaza", "provider"]).is_err());
        assert!(Typed::try_parse_from(["plaza", "provider", "status"]).is_ok());
        assert!(Typed::try_parse_from(["plaza", "provider", "--join", "network.json"]).is_ok());
    }
}
