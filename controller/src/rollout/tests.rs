//! Tests of rollouts as a whole.

mod simulation;
