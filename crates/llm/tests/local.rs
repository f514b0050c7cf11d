//! Tests of the local model. `LOCAL_MODEL_DIR` is its folder.
#![expect(clippy::unwrap_used, reason = "tests fail on unexpected values")]

use std::path::PathBuf;
use std::time::Duration;

use llm::{ConfigError, LOCAL_MODEL_NAME, LocalConfig, Models, ModelsConfig, Purpose};

/// Returns the folder of the model. Without it, the tests are skipped with a message.
fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("LOCAL_MODEL_DIR").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("skipped: LOCAL_MODEL_DIR is not set");
    }
    folder
}

fn models(config: LocalConfig) -> Models {
    Models::new(ModelsConfig {
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
async fn vectors_match_the_reference_implementation() {
    let Some(folder) = folder() else { return };
    let models = models(LocalConfig::new(folder));
    assert_eq!(models.embedder().name(), LOCAL_MODEL_NAME);
    let vectors = embed(
        &models,
        &["This is an example sentence", "Each sentence is converted"],
    )
    .await;
    // Output of the reference implementation.
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
async fn a_vector_does_not_depend_on_the_batch() {
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
async fn answerable_questions_are_similar_and_others_are_not() {
    let Some(folder) = folder() else { return };
    let models = models(LocalConfig::new(folder));
    // Longer than the model's input. Only the end answers the question.
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
        "the end of a long text is included"
    );
}

#[tokio::test]
async fn texts_without_words_and_in_any_script_have_vectors() {
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
async fn an_unloaded_model_is_loaded_again() {
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
fn a_folder_with_a_missing_file_is_rejected() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("model.safetensors"), "").unwrap();
    let error = Models::new(ModelsConfig {
        endpoint: None,
        local: Some(LocalConfig::new(folder.path())),
    })
    .unwrap_err();
    assert!(matches!(error, ConfigError::LocalFile("tokenizer.json")));
}
