//! Runs the BERT model: tokenization, inference, and mean pooling.

use std::fs;
use std::path::Path;

use candle_core::{DType, Device, Result as Computed, Tensor};
use candle_nn::VarBuilder;
use tokenizers::Tokenizer;

use super::DIMENSIONS;
use super::encoder::{Encoder, EncoderConfig};
use crate::error::LocalModelError;

/// Word pieces per window including the special tokens, which is the length that the model was
/// trained on.
const WINDOW_PIECES: usize = 256;
const SPECIAL_TOKENS: usize = 2;
/// Maximum number of windows of a text, about 4,000 words. The rest is ignored.
const MAX_WINDOWS: usize = 24;
/// Maximum word pieces of a batch including padding. A batch takes about 200 ms on one core, which
/// is how long a question may have to wait.
const BATCH_PIECES: usize = 2_048;

pub(super) struct Bert {
    tokenizer: Tokenizer,
    model: Encoder,
    begin: u32,
    end: u32,
    padding: u32,
}

impl Bert {
    pub(super) fn load(folder: &Path) -> Result<Self, LocalModelError> {
        let read = |file: &'static str| {
            fs::read(folder.join(file)).map_err(|_| LocalModelError::File(file))
        };
        let config: EncoderConfig = serde_json::from_slice(&read("config.json")?)
            .map_err(|_| LocalModelError::InvalidFile("config.json"))?;
        if config.hidden_size != DIMENSIONS || config.max_position_embeddings < WINDOW_PIECES {
            return Err(LocalModelError::InvalidFile("config.json"));
        }
        let mut tokenizer = Tokenizer::from_bytes(read("tokenizer.json")?)
            .map_err(|_| LocalModelError::InvalidFile("tokenizer.json"))?;
        // Windows and padding are created here; the settings in the file are for shorter texts.
        tokenizer.with_padding(None);
        tokenizer
            .with_truncation(None)
            .map_err(|_| LocalModelError::InvalidFile("tokenizer.json"))?;
        let special_token = |token: &str| {
            tokenizer
                .token_to_id(token)
                .ok_or(LocalModelError::InvalidFile("tokenizer.json"))
        };
        let (begin, end, padding) = (
            special_token("[CLS]")?,
            special_token("[SEP]")?,
            special_token("[PAD]")?,
        );
        let weights = VarBuilder::from_buffered_safetensors(
            read("model.safetensors")?,
            DType::F32,
            &Device::Cpu,
        )
        .map_err(|_| LocalModelError::InvalidFile("model.safetensors"))?;
        let model = Encoder::load(&weights, &config)
            .map_err(|_| LocalModelError::InvalidFile("model.safetensors"))?;
        Ok(Self {
            tokenizer,
            model,
            begin,
            end,
            padding,
        })
    }

    /// Splits the texts into windows of word pieces, sorted by length, so that the windows of a
    /// batch have similar lengths and need little padding.
    pub(super) fn windows(&self, texts: &[String]) -> Result<Windows, LocalModelError> {
        let mut windows = Vec::with_capacity(texts.len());
        for (text, content) in texts.iter().enumerate() {
            let pieces = self
                .tokenizer
                .encode_fast(content.as_str(), false)
                .map_err(|_| LocalModelError::Tokenizer)?;
            let ids = pieces.get_ids();
            // A text without word pieces still has the special tokens.
            let parts: Vec<&[u32]> = if ids.is_empty() {
                vec![ids]
            } else {
                ids.chunks(WINDOW_PIECES - SPECIAL_TOKENS)
                    .take(MAX_WINDOWS)
                    .collect()
            };
            for part in parts {
                let mut pieces = Vec::with_capacity(part.len() + SPECIAL_TOKENS);
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

    /// Returns the mean of the model's outputs for each window.
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
        let outputs = self.model.forward(&pieces, &mask)?;
        let mask = mask.unsqueeze(2)?;
        let sums = outputs.broadcast_mul(&mask)?.sum(1)?;
        sums.broadcast_div(&mask.sum(1)?)?.to_vec2()
    }
}

#[derive(Clone)]
pub(super) struct Window {
    text: usize,
    pieces: Vec<u32>,
}

pub(super) struct Windows {
    windows: Vec<Window>,
    texts: usize,
}

impl Windows {
    pub(super) fn sums(&self) -> VectorSums {
        VectorSums(vec![vec![0.0; DIMENSIONS]; self.texts])
    }

    pub(super) fn batches(self) -> Vec<Vec<Window>> {
        let mut batches: Vec<Vec<Window>> = Vec::new();
        for window in self.windows {
            match batches.last_mut() {
                // The windows are sorted: the last one is the longest, and the others are padded to
                // its length.
                Some(batch) if (batch.len() + 1) * window.pieces.len() <= BATCH_PIECES => {
                    batch.push(window);
                }
                _ => batches.push(vec![window]),
            }
        }
        batches
    }
}

/// Sum of the vectors of each text.
pub(super) struct VectorSums(Vec<Vec<f32>>);

impl VectorSums {
    /// Adds the means of windows, weighted by their number of pieces, so that the sum has the
    /// direction of the mean over the whole text.
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

    /// Returns the vectors normalized to length 1.
    pub(super) fn normalized(mut self) -> Vec<Vec<f32>> {
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
