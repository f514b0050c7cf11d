//! Measures how often the passage that answers a question is found and cited with its page. Writes
//! `docs/retrieval.md`.
//!
//! `make retrieval` runs it. `--tuning` asks only the questions for tuning and lists those without
//! the expected page first, for changing the ranking; `--weights` compares weights on them.

mod forms;
mod index;
mod large;
mod measure;
mod questions;
mod report;
mod vector_cache;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser as _;
use installer::progress::say;
use local_stack::postgres::Postgres;
use local_stack::run_folder::RunFolder;
use rag::Fusion;
use sqlx::PgPool;
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use index::Model;
use measure::{Method, Summary};
use questions::{Half, Question};
use report::{Corpus, Measured};

/// The argument with which the reader of PDFs starts this program as its child process.
const EXTRACT: &str = "extract";

#[derive(Debug, clap::Parser)]
struct Arguments {
    /// Ask only the questions for tuning, and list those without an expected page in the first quote.
    #[arg(long)]
    tuning: bool,
    /// Compare weights of meaning and words on the questions for tuning.
    #[arg(long)]
    weights: bool,
    /// Measure large workspaces as well, which takes minutes.
    #[arg(long)]
    large: bool,
    /// File names of the manuals to read instead of all, and to ask about.
    #[arg(long, value_delimiter = ',')]
    manuals: Vec<String>,
}

fn main() -> ExitCode {
    if std::env::args_os().nth(1).as_deref() == Some(OsStr::new(EXTRACT)) {
        return pdf_text::child::main();
    }
    let arguments = Arguments::parse();
    let run = || -> Result<()> {
        tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?
            .block_on(run(&arguments))
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Result<()> {
    let folder = RunFolder::new("retrieval")?;
    let postgres = Postgres::start(folder.path()).await?;
    let measured = with_database(arguments, postgres.uri()).await;
    postgres.stop().await;
    measured
}

async fn with_database(arguments: &Arguments, server: &str) -> Result<()> {
    let documents = index::read_documents(&arguments.manuals).await?;
    let [tuning, report] = Half::ALL.map(Half::questions);
    let tuning = index::questions_about(&documents, tuning?);
    let report = index::questions_about(&documents, report?);
    measure::check_answers(&documents, &tuning)?;
    measure::check_answers(&documents, &report)?;
    let database = create_database(server).await?;
    let mut model = Model::load(&cache_file()?).await?;
    let corpus = Corpus {
        documents: documents
            .iter()
            .map(|document| document.file_name.clone())
            .collect(),
        pages: documents.iter().map(|document| document.pages.len()).sum(),
        chunks: index::store(&database, &documents, &mut model).await?,
    };
    eprintln!(
        "{} documents, {} pages, {} chunks",
        corpus.documents.len(),
        corpus.pages,
        corpus.chunks
    );
    if arguments.tuning {
        list_misses(&database, &mut model, &tuning).await?;
    }
    if arguments.weights {
        compare_weights(&database, &mut model, &tuning).await?;
    }
    if !arguments.tuning && !arguments.weights {
        write_report(
            &database,
            &mut model,
            &corpus,
            [&tuning, &report],
            arguments.large,
        )
        .await?;
    }
    database.close().await;
    Ok(())
}

/// A database with the schema of a tenant.
async fn create_database(server: &str) -> Result<PgPool> {
    const NAME: &str = "retrieval";
    let options: PgConnectOptions = server.parse()?;
    let administration = PgPool::connect_with(options.clone()).await?;
    for statement in [
        format!("DROP DATABASE IF EXISTS {NAME} WITH (FORCE)"),
        format!("CREATE DATABASE {NAME}"),
    ] {
        sqlx::query(sqlx::AssertSqlSafe(statement))
            .execute(&administration)
            .await?;
    }
    administration.close().await;
    let database = PgPoolOptions::new()
        .max_connections(4)
        .connect_with(options.database(NAME))
        .await?;
    let migrations = workspace().join("tenant-migrations");
    Migrator::new(migrations).await?.run(&database).await?;
    Ok(database)
}

async fn list_misses(database: &PgPool, model: &mut Model, questions: &[Question]) -> Result<()> {
    let outcomes = measure::ask(database, model, questions, Method::SHIPPED).await?;
    for (question, outcome) in questions.iter().zip(&outcomes) {
        let expected = match &question.answer {
            Some(answer) if outcome.rank != Some(1) || outcome.is_refused => {
                format!("{} {:?}", answer.document, answer.pages)
            }
            None => "off-topic".to_owned(),
            Some(_) => continue,
        };
        say(&format!(
            "{:.2} {} rank {:?}: {}\n    expected {expected}, quoted {:?}",
            outcome.relevance,
            if outcome.is_refused {
                "refused"
            } else {
                "answered"
            },
            outcome.rank,
            question.text,
            outcome.quotes
        ));
    }
    let mut times: Vec<_> = outcomes.iter().map(|outcome| outcome.elapsed).collect();
    times.sort();
    let p95 = times.get(times.len() * 95 / 100);
    say(&format!(
        "{:?}, p95 {p95:?}",
        Summary::of(questions.iter().zip(&outcomes))
    ));
    Ok(())
}

async fn compare_weights(
    database: &PgPool,
    model: &mut Model,
    questions: &[Question],
) -> Result<()> {
    const STEPS: u8 = 10;
    for step in 0..=STEPS {
        let meaning = f32::from(step) / f32::from(STEPS);
        let method = Method::Both(Fusion {
            meaning,
            words: 1.0 - meaning,
        });
        let outcomes = measure::ask(database, model, questions, method).await?;
        let summary = Summary::of(questions.iter().zip(&outcomes));
        say(&format!("{}: {summary:?}", method.name()));
    }
    Ok(())
}

async fn write_report(
    database: &PgPool,
    model: &mut Model,
    corpus: &Corpus,
    halves: [&[Question]; 2],
    with_large: bool,
) -> Result<()> {
    let mut measured = Vec::new();
    for (half, questions) in Half::ALL.into_iter().zip(halves) {
        for method in [Method::Meaning, Method::Words, Method::SHIPPED] {
            let outcomes = measure::ask(database, model, questions, method).await?;
            measured.push(Measured {
                half,
                method,
                outcomes: questions.iter().cloned().zip(outcomes).collect(),
            });
        }
    }
    let mut text = report::render(corpus, &measured);
    if with_large {
        let [_, questions] = halves;
        text.push_str(&large::measure(database, model, questions).await?);
    }
    say(&text);
    std::fs::write(workspace().join("docs/retrieval.md"), text)?;
    Ok(())
}

fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Next to this program, in cargo's target folder.
fn cache_file() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let target = program
        .ancestors()
        .nth(2)
        .context("the program is not in a target folder")?;
    Ok(target.join("retrieval/vectors"))
}
