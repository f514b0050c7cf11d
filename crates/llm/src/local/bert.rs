//! The computation: word pieces, the network, the mean of its outputs.

use std::fs;
use std::path::Path;

use candle_core::{DType, Device, Result as Computed, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config};
use tokenizers::Tokenizer;

use super::DIMENSIONS;
use crate::error::LocalModelError;

/// Word pieces of a window, with the two marks around them: what the model was trained on.
const WINDOW_PIECES: usize = 256;
const MARKS: usize = 2;
/// Of a longer text, only so many windows are read: some 4,000 words.
const WINDOWS_MAX: usize = 24;
/// Pieces of a batch, the padding included: some 200 ms of one core, which is what a question may have to wait for.
const BATCH_PIECES: usize = 2_048;

pub(super) struct Bert {
    tokenizer: Tokenizer,
    model: BertModel,
    begin: u32,
    end: u32,
    padding: u32,
}

impl Bert {
    pub(super) fn load(folder: &Path) -> Result<Self, LocalModelError> {
        let read = |file: &'static str| {
            fs::read(folder.join(file)).map_err(|_| LocalModelError::File(file))
        };
        let config: Config = serde_json::from_slice(&read("config.json")?)
            .map_err(|_| LocalModelError::NotAModel("config.json"))?;
        if config.hidden_size != DIMENSIONS || config.max_position_embeddings < WINDOW_PIECES {
            return Err(LocalModelError::NotAModel("config.json"));
        }
        let mut tokenizer = Tokenizer::from_bytes(read("tokenizer.json")?)
            .map_err(|_| LocalModelError::NotAModel("tokenizer.json"))?;
        // Windows and padding are made here; the file's own settings are for shorter texts.
        tokenizer.with_padding(None);
        tokenizer
            .with_truncation(None)
            .map_err(|_| LocalModelError::NotAModel("tokenizer.json"))?;
        let mark = |mark: &str| {
            tokenizer
                .token_to_id(mark)
                .ok_or(LocalModelError::NotAModel("tokenizer.json"))
        };
        let (begin, end, padding) = (mark("[CLS]")?, mark("[SEP]")?, mark("[PAD]")?);
        let weights = VarBuilder::from_buffered_safetensors(
            read("model.safetensors")?,
            DType::F32,
            &Device::Cpu,
        )
        .map_err(|_| LocalModelError::NotAModel("model.safetensors"))?;
        let model = BertModel::load(weights, &config)
            .map_err(|_| LocalModelError::NotAModel("model.safetensors"))?;
        Ok(Self {
            tokenizer,
            model,
            begin,
            end,
            padding,
        })
    }

    /// The texts as windows of word pieces, shortest first: those of a batch are then of nearly one length, and little is padding.
    pub(super) fn windows(&self, texts: &[String]) -> Result<Windows, LocalModelError> {
        let mut windows = Vec::with_capacity(texts.len());
        for (text, content) in texts.iter().enumerate() {
            let pieces = self
                .tokenizer
                .encode_fast(content.as_str(), false)
                .map_err(|_| LocalModelError::Tokenizer)?;
            let ids = pieces.get_ids();
            // A text without any piece still has the marks.
            let parts: Vec<&[u32]> = if ids.is_empty() {
                vec![ids]
            } else {
                ids.chunks(WINDOW_PIECES - MARKS)
                    .take(WINDOWS_MAX)
                    .collect()
            };
            for part in parts {
                let mut pieces = Vec::with_capacity(part.len() + MARKS);
                pieces.push(self.begin);
                pieces.extend_from_slice(part);
                pieces.push(self.end);
                windows.push(Window { text, pieces });
            }
        }
        windows.sort_by_key(|window| window.pieces.len());
        Ok(Windows {
            windows,
            texts: texts.len(),
        })
    }

    /// The mean of the network's outputs for each window.
    pub(super) fn forward(&self, batch: &[Window]) -> Result<Vec<Vec<f32>>, LocalModelError> {
        self.compute(batch)
            .map_err(|_| LocalModelError::Computation)
    }

    fn compute(&self, batch: &[Window]) -> Computed<Vec<Vec<f32>>> {
        let width = batch
            .iter()
            .map(|window| window.pieces.len())
            .max()
            .unwrap_or(0);
        let shape = (batch.len(), width);
        let mut pieces = Vec::with_capacity(batch.len() * width);
        let mut mask = Vec::with_capacity(batch.len() * width);
        for window in batch {
            let padding = width - window.pieces.len();
            pieces.extend_from_slice(&window.pieces);
            pieces.extend(std::iter::repeat_n(self.padding, padding));
            mask.extend(std::iter::repeat_n(1.0_f32, window.pieces.len()));
            mask.extend(std::iter::repeat_n(0.0_f32, padding));
        }
        let pieces = Tensor::from_vec(pieces, shape, &Device::Cpu)?;
        let mask = Tensor::from_vec(mask, shape, &Device::Cpu)?;
        let outputs = self
            .model
            .forward(&pieces, &pieces.zeros_like()?, Some(&mask))?;
        let mask = mask.unsqueeze(2)?;
        let sums = outputs.broadcast_mul(&mask)?.sum(1)?;
        sums.broadcast_div(&mask.sum(1)?)?.to_vec2()
    }
}

#[derive(Clone)]
pub(super) struct Window {
    /// Which text it is of.
    text: usize,
    pieces: Vec<u32>,
}

pub(super) struct Windows {
    windows: Vec<Window>,
    texts: usize,
}

impl Windows {
    pub(super) fn sums(&self) -> Sums {
        Sums(vec![vec![0.0; DIMENSIONS]; self.texts])
    }

    pub(super) fn batches(self) -> Vec<Vec<Window>> {
        let mut batches: Vec<Vec<Window>> = Vec::new();
        for window in self.windows {
            match batches.last_mut() {
                // Sorted: the newest is the longest, and the others are filled up to it.
                Some(batch) if (batch.len() + 1) * window.pieces.len() <= BATCH_PIECES => {
                    batch.push(window);
                }
                _ => batches.push(vec![window]),
            }
        }
        batches
    }
}

/// What has been added up for each text.
pub(super) struct Sums(Vec<Vec<f32>>);

impl Sums {
    /// Adds windows' means, each by its number of pieces: the sum points where the mean over the whole text does.
    pub(super) fn add(&mut self, batch: &[Window], vectors: &[Vec<f32>]) {
        for (window, vector) in batch.iter().zip(vectors) {
            let Some(sum) = self.0.get_mut(window.text) else {
                continue;
            };
            let weight = f32::from(u16::try_from(window.pieces.len()).unwrap_or(u16::MAX));
            for (sum, number) in sum.iter_mut().zip(vector) {
                *sum += weight * number;
            }
        }
    }

    /// All vectors, of length 1.
    pub(super) fn normalised(mut self) -> Vec<Vec<f32>> {
        for vector in &mut self.0 {
            let length = vector
                .iter()
                .map(|number| number * number)
                .sum::<f32>()
                .sqrt();
            if length > 0.0 {
                for number in vector.iter_mut() {
                    *number /= length;
                }
            }
        }
        self.0
    }
}
