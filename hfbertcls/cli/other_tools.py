"""Options of other tools, and our names for them."""

_MEANT = {
    "--model": "model_name_or_path model_name model_id model_path pretrained_model pretrained_model_name_or_path base_model "
    "base_model_id checkpoint backbone encoder arch tokenizer tokenizer_name",
    "--dataset": "dataset_name dataset_path dataset_id data data_path data_file data_files data_dir train_file train_data "
    "training_file training_data train_path train_dataset validation_file eval_file test_file eval_dataset test_data corpus csv "
    "file input dataset_config dataset_config_name",
    "--text-column": "text text_field text_col text_column_name text_column_names sentence sentence_column sentence1_key "
    "content_column input_column feature_column",
    "--text-pair-column": "text_pair text_pair_field sentence2_key pair_column",
    "--label-column": "label label_field label_col label_column_name target target_column target_field class_column y_column",
    "--label-separator": "label_delimiter label_sep",
    "--labels": "label_names class_names classes label_list label_set",
    "--split": "dataset_split eval_split test_split split_name subset",
    "--split-by": "group group_by group_column groups",
    "--max-length": "max_seq_length max_seq_len max_len maxlen seq_len sequence_length model_max_length max_tokens",
    "--output-dir": "out output out_dir outdir save_dir save_path save_to output_path output_folder model_dir project_name dest",
    "--input": "input_file inputs in infile file texts dataset data",
    "--output": "output_file out outfile output_path output_dir",
    "--epochs": "num_epochs n_epochs max_epochs nb_epochs train_epochs",
    "--learning-rate": "lr max_lr base_lr body_learning_rate",
    "--batch-size": "batch bs train_batch_size train_bs batchsize per_device_batch_size per_gpu_train_batch_size",
    "--max-steps": "steps num_steps num_train_steps max_train_steps total_steps iterations",
    "--early-stopping": "patience early_stopping_patience early_stop",
    "--eval-every": "eval_freq eval_interval evaluation_steps val_check_interval logging_and_eval_steps",
    "--metric": "eval_metric best_metric monitor metric_for_best selection_metric scoring",
    "--precision": "mixed_precision dtype torch_dtype amp half fp32",
    "--seed": "random_seed random_state rng_seed",
    "--seeds": "num_seeds n_seeds runs num_runs n_runs repeats",
    "--report-to": "tracker trackers log_to logger log_with wandb",
    "--resume": "continue restart resume_from resume_from_last",
    "--overwrite": "force overwrite_output_dir exist_ok replace",
    "--push-to-hub": "hub_model_id hub_repo_id hub_repo hub_id repo_id repo push upload upload_to push_to_hub_model_id",
    "--hub-revision": "branch hub_branch ref",
    "--revision": "model_revision branch ref commit tag",
    "--config": "config_file cfg yaml options_file",
    "--trust-remote-code": "trust_code remote_code",
    "--abstain-below": "min_score min_confidence confidence cutoff reject_below",
    "--quantize": "int8 quantization quantise quant",
    "--space-id": "space space_name space_repo",
    "--launch": "local serve run_locally",
}  # fmt: skip

OPTIONS: dict[str, list[str]] = {}
"""Our options by a name of other tools, the likeliest first; a verb takes the first that it has."""
for _option, _names in _MEANT.items():
    for _name in _names.split():
        OPTIONS.setdefault(_name, []).append(_option)

VERBS = {
    name: verb
    for verb, names in {
        "train": "fit finetune fine-tune tune learn run",
        "evaluate": "eval test measure benchmark validate metrics",
        "predict": "infer inference classify score label annotate",
        "push": "upload publish share",
        "space": "demo serve launch app gradio deploy",
        "doctor": "check lint inspect diagnose clean profile",
        "export": "onnx convert quantize quantise",
        "compare": "diff versus vs",
        "verify": "audit check-card",
        "quickstart": "init start example demo-run",
        "env": "info version versions",
    }.items()
    for name in names.split()
}
"""Our verbs by those of other tools."""
