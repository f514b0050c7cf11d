//! The encoder of BERT (Devlin et al., 2018), without what only training needs.
//!
//! candle-transformers also has it, among two hundred other models that would be compiled.

use candle_core::{D, Module as _, Result, Tensor};
use candle_nn::ops::softmax;
use candle_nn::{Embedding, LayerNorm, Linear, VarBuilder, embedding, layer_norm, linear};
use serde::Deserialize;

/// The fields of `config.json` that determine the computation.
#[derive(Debug, Deserialize)]
pub(super) struct EncoderConfig {
    vocab_size: usize,
    pub(super) hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    #[serde(rename = "hidden_act")]
    _activation: Activation,
    pub(super) max_position_embeddings: usize,
    type_vocab_size: usize,
    layer_norm_eps: f64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Activation {
    Gelu,
}

pub(super) struct Encoder {
    words: Embedding,
    positions: Embedding,
    /// The embedding of the first segment. Sentence embeddings have no second one.
    segment: Tensor,
    norm: LayerNorm,
    layers: Vec<Layer>,
}

impl Encoder {
    pub(super) fn load(weights: &VarBuilder<'_>, config: &EncoderConfig) -> Result<Self> {
        let (hidden, part) = (config.hidden_size, weights.pp("embeddings"));
        let segments = embedding(
            config.type_vocab_size,
            hidden,
            part.pp("token_type_embeddings"),
        )?;
        Ok(Self {
            words: embedding(config.vocab_size, hidden, part.pp("word_embeddings"))?,
            positions: embedding(
                config.max_position_embeddings,
                hidden,
                part.pp("position_embeddings"),
            )?,
            segment: segments.embeddings().get(0)?,
            norm: layer_norm(hidden, config.layer_norm_eps, part.pp("LayerNorm"))?,
            layers: (0..config.num_hidden_layers)
                .map(|index| Layer::load(&weights.pp(format!("encoder.layer.{index}")), config))
                .collect::<Result<_>>()?,
        })
    }

    /// Returns a vector for each word piece. `pieces` and `mask` have the shape (texts, pieces); the
    /// mask is 1 for word pieces and 0 for padding.
    pub(super) fn forward(&self, pieces: &Tensor, mask: &Tensor) -> Result<Tensor> {
        let width = u32::try_from(pieces.dim(1)?).map_err(candle_core::Error::wrap)?;
        let positions = Tensor::arange(0, width, pieces.device())?;
        let embedded = self
            .words
            .forward(pieces)?
            .broadcast_add(&self.segment)?
            .broadcast_add(&self.positions.forward(&positions)?)?;
        let mut states = self.norm.forward(&embedded)?;
        // Added to the scores of attention, so that padding has the weight 0.
        let bias = mask
            .affine(f64::from(f32::MAX), f64::from(f32::MIN))?
            .unsqueeze(1)?
            .unsqueeze(1)?;
        for layer in &self.layers {
            states = layer.forward(&states, &bias)?;
        }
        Ok(states)
    }
}

/// Attention and a feed-forward network, each with a residual connection.
struct Layer {
    query: Linear,
    key: Linear,
    value: Linear,
    heads: usize,
    attention_output: Linear,
    attention_norm: LayerNorm,
    intermediate: Linear,
    output: Linear,
    norm: LayerNorm,
}

impl Layer {
    fn load(weights: &VarBuilder<'_>, config: &EncoderConfig) -> Result<Self> {
        let (hidden, wide, eps) = (
            config.hidden_size,
            config.intermediate_size,
            config.layer_norm_eps,
        );
        let attention = weights.pp("attention");
        Ok(Self {
            query: linear(hidden, hidden, attention.pp("self.query"))?,
            key: linear(hidden, hidden, attention.pp("self.key"))?,
            value: linear(hidden, hidden, attention.pp("self.value"))?,
            heads: config.num_attention_heads,
            attention_output: linear(hidden, hidden, attention.pp("output.dense"))?,
            attention_norm: layer_norm(hidden, eps, attention.pp("output.LayerNorm"))?,
            intermediate: linear(hidden, wide, weights.pp("intermediate.dense"))?,
            output: linear(wide, hidden, weights.pp("output.dense"))?,
            norm: layer_norm(hidden, eps, weights.pp("output.LayerNorm"))?,
        })
    }

    fn forward(&self, states: &Tensor, bias: &Tensor) -> Result<Tensor> {
        let attended = self.attention_output.forward(&self.attend(states, bias)?)?;
        let attended = self.attention_norm.forward(&(attended + states)?)?;
        let wide = self.intermediate.forward(&attended)?.gelu_erf()?;
        let output = self.output.forward(&wide)?;
        self.norm.forward(&(output + attended)?)
    }

    fn attend(&self, states: &Tensor, bias: &Tensor) -> Result<Tensor> {
        let (texts, pieces, hidden) = states.dims3()?;
        let head = hidden / self.heads;
        let split = |states: Tensor| {
            states
                .reshape((texts, pieces, self.heads, head))?
                .transpose(1, 2)?
                .contiguous()
        };
        let query = split(self.query.forward(states)?)?;
        let key = split(self.key.forward(states)?)?;
        let value = split(self.value.forward(states)?)?;
        let scale = f64::from(u16::try_from(head).map_err(candle_core::Error::wrap)?)
            .sqrt()
            .recip();
        let scores = (query.matmul(&key.t()?)? * scale)?.broadcast_add(bias)?;
        softmax(&scores, D::Minus1)?
            .matmul(&value)?
            .transpose(1, 2)?
            .reshape((texts, pieces, hidden))
    }
}
