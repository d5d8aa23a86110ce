//! Blueprints, and what is made of them.

mod shop;
