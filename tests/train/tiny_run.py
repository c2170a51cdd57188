"""The end of an `experiment.yaml`, to be formatted: what runs of a few seconds share."""

TINY_RUN = """\
run:
  model:
    name: hf_causal_lm
    pretrained_model_name_or_path: gpt2
    pretrained: false
    config_overrides: {{n_embd: 16, n_layer: 1, n_head: 2}}
  optimizer: {{name: decoupled_adamw, lr: 0.01}}
  global_train_batch_size: 8
"""
