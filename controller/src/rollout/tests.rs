//! Tests of roll-outs as a whole.

mod simulation;
