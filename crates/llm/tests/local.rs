//! The model on this machine, where it is: `LOCAL_MODEL_DIR` names its folder.
#![expect(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

use std::path::PathBuf;
use std::time::Duration;

use llm::{ConfigError, LOCAL_MODEL_NAME, LocalConfig, Models, ModelsConfig, Purpose};

/// The folder, or a word that the test did not run. Where it must run, `LOCAL_MODEL_DIR` is set.
fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("LOCAL_MODEL_DIR").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("LOCAL_MODEL_DIR is not set: the local model is not tested");
    }
    folder
}

fn models(config: LocalConfig) -> Models {
    Models::start(ModelsConfig {
        endpoint: None,
        local: Some(config),
    })
    .unwrap()
}

async fn embed(models: &Models, texts: &[&str]) -> Vec<Vec<f32>> {
    let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
    models
        .embedder()
        .embed(&texts, Purpose::Document)
        .await
        .unwrap()
}

fn cosine(left: &[f32], right: &[f32]) -> f32 {
    left.iter()
        .zip(right)
        .map(|(left, right)| left * right)
        .sum()
}

#[tokio::test]
async fn vectors_are_those_that_the_model_is_known_for() {
    let Some(folder) = folder() else { return };
    let models = models(LocalConfig::new(folder));
    assert_eq!(models.embedder().name(), LOCAL_MODEL_NAME);
    let vectors = embed(
        &models,
        &["This is an example sentence", "Each sentence is converted"],
    )
    .await;
    // As its authors' own library prints them.
    let known = [
        (
            [0.067_656_9, 0.063_495_9, 0.048_713_1, 0.079_304_9],
            &vectors[0],
        ),
        (
            [0.086_438_6, 0.102_762_7, 0.005_394_5, 0.002_044_3],
            &vectors[1],
        ),
    ];
    for (known, vector) in known {
        assert_eq!(vector.len(), 384);
        for (known, given) in known.iter().zip(vector) {
            assert!((known - given).abs() < 1e-4, "{known} {given}");
        }
        assert!((cosine(vector, vector) - 1.0).abs() < 1e-4);
    }
}

#[tokio::test]
async fn a_text_has_the_same_vector_whatever_stands_beside_it() {
    let Some(folder) = folder() else { return };
    let models = models(LocalConfig::new(folder));
    let long = "A sentence about pumps and their filters. ".repeat(40);
    let alone = embed(&models, &["Short."]).await;
    let together = embed(
        &models,
        &[&long, "Short.", "Of middling length, with some more words."],
    )
    .await;
    assert!(cosine(&alone[0], &together[1]) > 0.9999);
}

#[tokio::test]
async fn answerable_questions_are_near_and_others_are_far() {
    let Some(folder) = folder() else { return };
    let models = models(LocalConfig::new(folder));
    // Longer than the model reads: only its end answers.
    let long = format!(
        "{} To reset the controller, hold both keys for ten seconds.",
        "The housing is made of cast iron and painted grey. ".repeat(30)
    );
    let vectors = embed(
        &models,
        &[
            "How do I reset the controller?",
            "To reset the controller, hold both keys for ten seconds.",
            "The annual meeting of shareholders takes place in May.",
            &long,
            "The housing is made of cast iron and painted grey.",
        ],
    )
    .await;
    assert!(cosine(&vectors[0], &vectors[1]) > 0.5);
    assert!(cosine(&vectors[0], &vectors[2]) < 0.2);
    assert!(
        cosine(&vectors[0], &vectors[3]) > cosine(&vectors[0], &vectors[4]),
        "the end of a long text counts too"
    );
}

#[tokio::test]
async fn texts_without_words_and_of_any_script_have_vectors_too() {
    let Some(folder) = folder() else { return };
    let models = models(LocalConfig::new(folder));
    let huge = "x".repeat(100_000);
    for vector in embed(
        &models,
        &[
            " ",
            "\u{1f469}\u{200d}\u{1f4bb}",
            "\u{5e9}\u{5dc}\u{5d5}\u{5dd}",
            "\u{301}\u{302}",
            "\0",
            &huge,
        ],
    )
    .await
    {
        assert!(vector.iter().all(|number| number.is_finite()));
        assert!((cosine(&vector, &vector) - 1.0).abs() < 1e-3);
    }
}

#[tokio::test]
async fn a_model_that_was_given_back_is_loaded_again() {
    let Some(folder) = folder() else { return };
    let models = models(LocalConfig {
        idle_limit: Duration::ZERO,
        ..LocalConfig::new(folder)
    });
    let first = embed(&models, &["Once."]).await;
    let again = embed(&models, &["Once."]).await;
    assert_eq!(first, again);
}

#[test]
fn a_folder_that_lacks_a_file_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("model.safetensors"), "").unwrap();
    let error = Models::start(ModelsConfig {
        endpoint: None,
        local: Some(LocalConfig::new(folder.path())),
    })
    .unwrap_err();
    assert!(matches!(error, ConfigError::LocalFile("tokenizer.json")));
}
