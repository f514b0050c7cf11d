//! `docs/benchmarks.md`, made from the figures.

use std::fmt::Write as _;

use crate::figure::{Figure, number};
use crate::machine;

const INTRODUCTION: &str = "\
Made by `make bench` from `target/bench/results.json`; do not edit. Release builds of the controller and of the emulator run as
processes of their own, beside kube-apiserver, etcd, kube-controller-manager and PostgreSQL on the same machine; the controller runs
with the chart's rights and, unless it is said otherwise, with its default settings. Some of it again: `cargo run --release -p
tests --bin bench -- --only ready,idle`.
";

/// What each benchmark's figures mean: its name, a heading, and the text.
const MEANINGS: &[(&str, &str, &str)] = &[
    (
        "ready",
        "From apply to Ready",
        "From the request that creates a Tenant until a watch tells that it is Ready, one at a time, with the emulator's times like \
         Neon's (a call 50 to 150 ms, a new project ready after about a second). The floor is the bare sequence, in the same run and in \
         turn with it: the same call of Neon, the connection, the same migrations, and seven writes to Kubernetes of the same kind and \
         size (the Tenant, its finalizer, three statuses, the Secret empty and filled), without a controller. It is measured in two \
         forms, one that connects at once and one that asks after the project's operations every 100 ms and then connects; the \
         faster of the two is the floor. The account's quota is opened wide, so that no sample waits for a turn. `median` and `p95` are \
         over all samples.",
    ),
    (
        "fleet",
        "A thousand Tenants at once",
        "`seconds` is from the first apply until the last of the Tenants is seen Ready, with the bucket at what Neon grants an account: \
         700 calls a minute, 40 a second of one route. The floor is the time in which the quota lets through the calls that \
         the emulator counted: calls less the burst of 20, at 700 a minute. What the last Tenant needs after its call (about a second \
         at Neon's times) is on top of the floor and cannot be avoided. `peak_rss` is the most memory that the controller ever held, \
         `cpu` its processor time from the first apply to the last Ready. A run is one sample, and on a machine that \
         others use too it is not steady.",
    ),
    (
        "fleet_tenfold",
        "The same at ten times the quota",
        "The same with 7,000 calls a minute and 400 a second of one route, with `--concurrency=128 --migration-concurrency=48` \
         so that the controller may do as much at once. The floor of `seconds` is the quota's again. On a small machine that is \
         not what binds: every Tenant is a database that PostgreSQL makes, an extension, a dozen statements and seven writes \
         to etcd, on the same processors. `seconds_over_bare_work` has that for its floor: the bare sequence for as many Tenants, 128 at \
         once, under the same quota, on the same machine in the same run.",
    ),
    (
        "app",
        "The chat app",
        "`sign_up_to_ready` is the median from the form that signs somebody up to the event that tells their page that the database is \
         ready; `added_to_the_controller` the median of that less `status.timings.readyMs` of the Tenant, with the emulator's times like \
         Neon's. `pdf_pages_a_cpu_second` counts all processor time of the app while three manuals (357 pages, by Apache FOP, XeTeX and \
         pdfTeX) go from upload to searchable, the confined processes that read them included, with an endpoint that embeds elsewhere; \
         the floor of `pdf_cpu` is what `pdftotext` needs for the same files in the same run, for their text alone. `outside_the_model` is that \
         processor time as a share of the same with the local model. `rss` is the app's memory after it came up over so many known Tenants \
         and was quiet.",
    ),
    (
        "neon",
        "The Neon client and the emulator by themselves",
        "An emulator at instant times as a process of its own over a PostgreSQL server of its own, and nothing else. `call` is the \
         median of one GET of a project through the client, 5,000 of them, in turn with the same GET through bare reqwest (the floor), \
         which reads the same body as the same type; each has one connection. `call_added` is the difference: the turn in the \
         account's quota, the identifier of the request, the watch over deadlines and retries. `turn` is the median of a turn alone that is \
         taken and given back. `created` is from the first to the last of the projects, 32 at a time through the client, whose quota is \
         opened so wide that nobody waits; `listed_by_10` and `listed_by_400` are those projects and one more read through the client's stream, \
         in pages of the API's default and of the most it gives. `emulator_rss` is the emulator's memory after that, \
         `emulator_rss_before` that with one project.",
    ),
    (
        "data_plane",
        "The emulator's data plane against PgBouncer",
        "pgbench (8 connections, 2 threads, a database of a million accounts) through the emulator and through Debian's PgBouncer in transaction \
         mode, in turn, in the same run: TLS to the client and plain text to the same database of the same PostgreSQL server, a \
         certificate on the same curve, the same password. Figures are microseconds a transaction, from the median of all rounds; the \
         floor is PgBouncer's. `_pooled` is the emulator's `-pooler` host, which reads every statement before it goes on. `connect` opens \
         a connection for each transaction. The emulator keeps one connection to PostgreSQL for each client and uses all processors; PgBouncer \
         shares its connections and uses one. `_tps` are the same medians as transactions a second.",
    ),
    (
        "idle",
        "Ten thousand idle Tenants",
        "Tenants with a status and a Secret as the controller itself writes them, over projects that the emulator lists and that have no \
         database. `rss` is the controller's memory after it came up over them, made a pass over each, listed the account and was quiet; \
         `peak_rss` the most on the way there, `restart_cpu` the processor time of it. `restart` is from the start of the process \
         until the pass over one Tenant is seen that was changed while no controller ran; the one before had given its Lease back, \
         as in a roll-out. `writes` are those that the API server's audit log knows of the controller from its start until it was \
         quiet, without its Lease and without the status of the Tenant that changed. `calls_per_hour` are calls of Neon: counted by \
         the emulator from the beginning of a listing to that of the second next, with the listings' settings sixty times as fast as by \
         default, and divided by sixty. The seconds that a listing itself takes are not sped up, so the figure comes out a little low; the \
         setting allows 50. `listing_cpu` is the controller's processor time for one listing with the comparison of all \
         Tenants. `databases_opened` are connections to any database in the whole of it.",
    ),
];

/// What is known of figures that can miss their budgets: why, and what was tried. Told where they do.
const SHORTFALLS: &[(&str, &str)] = &[
    (
        "ready.p95",
        "The slowest samples are those during which something else had the processors; the load average tells how much there was. The \
         samples of the floor are others, so it does not suffer in the same ones.",
    ),
    (
        "fleet.seconds",
        "Two things are on top of the floor: the last Tenant's own second after its call, and, where the processors are busy, making \
         a thousand databases beside an API server on the same machine.",
    ),
    (
        "data_plane.select_only_pooled",
        "On a pooled host every statement is read before it goes on, which costs most where statements are short. Where the loads take turns \
         on few processors, single rounds differ by more than the two programs do.",
    ),
    (
        "fleet_tenfold.seconds",
        "The machine binds before the quota does: the same work without a controller takes many times the quota's floor too (the floor \
         of `fleet_tenfold.seconds_over_bare_work`). The controller's run has watches and events beside it, which the \
         bare work has not; its own processor time is `fleet_tenfold.cpu`.",
    ),
    (
        "idle.rss",
        "What each Tenant's share consists of was not measured. Not tried: a store of our own with a compact key, and a snapshot of the account \
         without projects' names.",
    ),
];

/// The document.
pub(crate) fn render(figures: &[Figure], date: jiff::civil::Date) -> String {
    let mut text = format!(
        "# Benchmarks\n\n{INTRODUCTION}\nMeasured on {date}: {}.\n\n",
        machine::description()
    );
    text.push_str("| figure | value | floor | ratio | budget | within | of | load |\n|---|---:|---:|---:|---:|---|---:|---:|\n");
    let ordered = MEANINGS.iter().flat_map(|(name, ..)| {
        figures
            .iter()
            .filter(move |figure| benchmark(figure) == *name)
    });
    for figure in ordered {
        let optional = |value: Option<f64>| value.map(number).unwrap_or_default();
        let budget = match (figure.budget, figure.ratio) {
            (Some(budget), Some(_)) => format!("ratio {}", number(budget)),
            (Some(budget), None) => format!("{} {}", number(budget), figure.unit),
            (None, _) => String::new(),
        };
        let within = match figure.within {
            Some(true) => "yes",
            Some(false) => "**no**",
            None => "",
        };
        let ratio = figure
            .ratio
            .map(|ratio| format!("{ratio:.3}"))
            .unwrap_or_default();
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "| {} | {} {} | {} | {ratio} | {budget} | {within} | {} | {:.1} |",
            figure.name,
            number(figure.value),
            figure.unit,
            optional(figure.floor),
            figure.count,
            figure.load_average
        );
    }
    let legend = "`of` is how many Tenants, samples or files a figure is made of, `load` the machine's load average when its benchmark began: \
                  whatever else ran then made it worse.";
    let _ = write!(text, "\n{}\n", wrapped(legend));
    for (name, heading, meaning) in MEANINGS {
        if figures.iter().any(|figure| benchmark(figure) == *name) {
            let _ = write!(text, "\n## {heading}\n\n{}\n", wrapped(meaning));
            let missed = |figure: &str| {
                figures
                    .iter()
                    .any(|one| one.name == figure && one.within == Some(false))
            };
            for (figure, why) in SHORTFALLS
                .iter()
                .filter(|(figure, _)| benchmark_of(figure) == *name && missed(figure))
            {
                let _ = write!(
                    text,
                    "\n{}\n",
                    wrapped(&format!("`{figure}` misses its budget. {why}"))
                );
            }
        }
    }
    text
}

fn benchmark(figure: &Figure) -> &str {
    benchmark_of(&figure.name)
}

fn benchmark_of(name: &str) -> &str {
    name.split('.').next().unwrap_or_default()
}

/// Lines of a readable length.
fn wrapped(text: &str) -> String {
    const LINE_CHARS_MAX: usize = 125;
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.last().map_or(0, String::len);
        if last > 0 && last + 1 + word.len() > LINE_CHARS_MAX {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::Figures;

    #[test]
    fn the_document_tells_each_figure_once_and_what_it_means() {
        let mut figures = Figures::new("ready", 40);
        figures.above("median", 1_100.0, "ms", 1_000.0, Some(1.1));
        let text = render(&figures.into_vec(), jiff::civil::date(2026, 1, 2));
        assert!(
            text.contains("| ready.median | 1100 ms | 1000 | 1.100 | ratio 1.10 | yes | 40 |"),
            "{text}"
        );
        assert!(text.contains("Measured on 2026-01-02"), "{text}");
        assert!(
            text.contains("## From apply to Ready") && !text.contains("## Ten thousand"),
            "{text}"
        );
    }

    #[test]
    fn why_a_figure_misses_its_budget_is_told_where_it_does() {
        let document = |value| {
            let mut figures = Figures::new("idle", 10_000);
            figures.bounded("rss", value, "MiB", 48.0);
            render(&figures.into_vec(), jiff::civil::date(2026, 1, 2))
        };
        assert!(document(50.0).contains("`idle.rss` misses its budget."));
        assert!(!document(40.0).contains("misses"));
    }
}
