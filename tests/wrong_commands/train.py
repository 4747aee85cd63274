"""What train.py refuses."""

import json
import shutil

from jaxinv.training import TrainConfig, train_and_evaluate
from jaxinv.training.cli import main
from tests.data import tiny

NAME = "train.py"

RUN = TrainConfig(
    model="mlp",
    model_options={"dense": (4,)},
    train_split="train[:96]",
    test_split="test[:10]",
    batch_size=32,
    epochs=2,
)


def prepare(folder):
    """A finished run, damaged ones, and damaged data sets."""
    train_and_evaluate(RUN, folder / "run", show=False)
    (folder / "file").write_text("")
    for name in ("cut", "foreign", "scale", "unfinished", "lost", "spoilt"):
        shutil.copytree(folder / "run", folder / name)
    stored = json.loads((folder / "run" / "config.json").read_text())
    (folder / "cut" / "config.json").write_text(json.dumps(stored)[:100])
    (folder / "foreign" / "config.json").write_text('{"name": "another program"}')
    scale = stored | {"data": stored["data"] | {"std": [0.0]}}
    (folder / "scale" / "config.json").write_text(json.dumps(scale))
    (folder / "lost" / "config.json").unlink()
    for file in (folder / "spoilt" / "checkpoints" / "last" / "6").rglob("*"):
        if file.is_file():
            file.write_bytes(b"spoilt")
    tiny.write(folder / "tfds")
    shutil.copytree(folder / "tfds", folder / "damaged")
    (folder / "damaged" / "tiny" / "1.0.0" / "dataset_info.json").write_text("{")
    shutil.copytree(folder / "tfds", folder / "records")
    next((folder / "records" / "tiny" / "1.0.0").glob("*-train*")).write_bytes(b"no record")
    shutil.copytree(folder / "tfds", folder / "labels")
    features = folder / "labels" / "tiny" / "1.0.0" / "features.json"
    features.write_text(features.read_text().replace('"numClasses": "3"', '"numClasses": "2"'))


def _tiny(data_dir, more=""):
    return f"--dataset tiny --data-dir {data_dir} --batch-size 8 --model mlp {more}".strip()


ROWS = [
    # words
    ("--bogus", "Unrecognized options: --bogus"),
    ("lenet", "Unrecognized options: lenet"),
    ("--epochs", "--epochs"),
    ("--epochs many", "epochs"),
    ("--epochs 1.5", "epochs"),
    ("--optimizer lion", "invalid choice 'lion'"),
    ("--schedule cyclic", "invalid choice 'cyclic'"),
    ("--precision float16", "invalid choice 'float16'"),
    ("--fill black", "invalid choice 'black'"),
    ("--preset", "--preset: expected one argument"),
    ("--preset simard", "unknown preset 'simard'; allowed are simard2003-mlp-none"),
    ("--workdir", "--workdir: expected one argument"),
    # sizes and seeds
    ("--epochs -1", "epochs is -1; it must not be negative"),
    ("--epochs 100000000000", "steps are counted up to 2,147,483,647"),
    ("--batch-size 0", "batch_size is 0; it must be at least 1"),
    ("--batch-size 5000", "batch_size is 5000, and there are 1297 images"),
    ("--batch-size 10 --accumulate 3", "batch_size 10 cannot be split into 3"),
    ("--accumulate 0", "accumulate is 0; it must be at least 1"),
    ("--holdout -1", "holdout is -1; it must not be negative"),
    ("--holdout 1297", "there are 0 images to train on"),
    ("--memory lots", "memory is 'lots'; allowed are numbers of bytes such as 500MB and 2GiB"),
    ("--canvas 0", "canvas is 0; it must be at least 1"),
    ("--canvas 16", "images of 32x32 do not fit on a canvas of 16x16"),
    ("--canvas 1000000", "GiB are free"),
    ("--seed -1", "seed is -1; it must be in 0 to 4294967295"),
    ("--seed 4294967296", "seed is 4294967296; it must be in 0 to 4294967295"),
    ("--seed 4294967295 --seeds 2", "those after it exceed 4294967295"),
    ("--seeds 0", "seeds is 0; it must be at least 1"),
    ("--seeds 1000000000", "seeds is 1000000000; it must be at most 1000"),
    ("--eval-every 0", "eval_every is 0; it must be at least 1"),
    ("--model mlp --model-options dense=1000000000,", "GiB are free"),
    # numbers
    ("--learning-rate 0", "learning_rate is 0.0; it must be positive"),
    ("--learning-rate nan", "learning_rate is nan; it must be finite"),
    ("--learning-rate 1e300", "learning_rate is 1e+300; it must be finite, in float32"),
    ("--learning-rate inf", "learning_rate is inf; it must be finite"),
    ("--learning-rate 1e-50", "learning_rate is 1e-50; it must be positive"),
    ("--clip-norm 1e-60", "clip_norm is 1e-60; it must be positive"),
    ("--ema 0.99999999999", "ema is 0.99999999999; it must be in [0, 1)"),
    ("--clip-norm -1", "clip_norm is -1.0; it must be positive"),
    ("--clip-norm 0", "clip_norm is 0.0; it must be positive"),
    ("--weight-decay -0.1", "weight_decay is -0.1; it must not be negative"),
    ("--label-smoothing 1", "label_smoothing is 1.0; it must be in [0, 1)"),
    ("--ema 1", "ema is 1.0; it must be in [0, 1)"),
    ("--ema -0.5", "ema is -0.5; it must be in [0, 1)"),
    ("--optimizer sgd --momentum 1", "momentum is 1.0; it must be in [0, 1)"),
    ("--optimizer sgd --momentum 0 --nesterov", "--nesterov means nothing with --momentum 0"),
    ("--schedule step --decay-factor 0", "decay_factor is 0.0; it must be in (0, 1]"),
    ("--schedule step --decay-epochs 0", "decay_epochs is 0.0; it must be positive"),
    ("--warmup-epochs -1", "warmup_epochs is -1.0; it must not be negative"),
    ("--warmup-epochs 30", "warmup_epochs is 30.0; it must be at most epochs, 20"),
    ("--checkpoint-minutes 0", "checkpoint_minutes is 0.0; it must be positive"),
    ("--checkpoint-minutes nan", "checkpoint_minutes is nan; it must be finite"),
    # distortions
    ("--augment shear", "augment is 'shear'; allowed are none, or names joined"),
    ("--augment orbit+worst", "augment is 'orbit+worst'; allowed are none"),
    ("--augment flip+flip", "each once"),
    ("--augment translate --max-shift -1", "max_shift is -1; allowed are numbers from 0"),
    ("--augment translate --max-shift 0.1", "max_shift is 0.1; allowed are a whole number"),
    ("--augment translate --max-shift nan", "max_shift is nan"),
    ("--augment translate --max-shift 1 2 3", "max-shift"),
    ("--augment translate --max-shift 32", "max_shift is 32; for images of 32x32 it must be at"),
    ("--augment orbit --fill wrap --max-shift 0 40", "max_shift is (0, 40); for images of 32x32"),
    ("--augment translate --subpixel --fill wrap", "zeros at the border"),
    ("--augment translate --max-shift None", "max_shift None means every circular shift"),
    ("--augment affine --rotation 400", "rotation is 400.0; it must be in [0, 180]"),
    ("--augment affine --scaling 1", "scaling is 1.0; it must be in [0, 1)"),
    ("--augment affine --shear -1", "shear is -1.0; it must not be negative"),
    ("--augment elastic --sigma 0", "sigma is 0.0; it must be positive"),
    ("--augment elastic --sigma inf", "sigma is inf; it must be finite"),
    ("--augment elastic --alpha nan", "alpha is nan; it must be finite"),
    ("--augment orbit --chunk 0", "chunk is 0; it must be at least 1"),
    # options that mean nothing beside others
    ("--max-shift 4", "--max-shift means nothing with --augment none; it needs translate or crop"),
    ("--augment flip --fill edge", "--fill means nothing with --augment flip"),
    ("--augment crop --subpixel", "--subpixel means nothing with --augment crop"),
    ("--augment elastic --rotation 5", "--rotation means nothing with --augment elastic"),
    ("--augment affine --alpha 5", "--alpha means nothing with --augment affine"),
    ("--augment translate --chunk 5", "--chunk means nothing with --augment translate"),
    ("--momentum 0.5", "--momentum means nothing with --optimizer adam; it needs sgd"),
    ("--optimizer adamw --no-nesterov", "--no-nesterov means nothing with --optimizer adamw"),
    ("--decay_epochs=5", "--decay_epochs means nothing with --schedule cosine; it needs step"),
    ("--data-dir tfds", "--data-dir means nothing with --dataset digits"),
    ("--manual-dir tfds", "--manual-dir means nothing with --dataset digits"),
    # networks
    ("--model nope", "model is 'nope'; allowed are mlp"),
    ("--model-options colour=1", "has no option 'colour'; allowed are"),
    ("--model-options head=gap head=flatten", "model option 'head' is given twice"),
    ("--model-options head=gap --model_options local=True", "one --model-options takes all of"),
    ("--head gap --model-options head=flatten", "model option 'head' is given twice"),
    ("--model-options colour", "model option 'colour' is not of the form name=value"),
    ("--model-options dense=-5,", "dense is (-5,); allowed are sequences of whole numbers from 1"),
    ("--model-options dense=abc", "dense is 'abc'; allowed are sequences of whole numbers from 1"),
    (
        "--model-options dense=0.5,",
        "dense is (0.5,); allowed are sequences of whole numbers from 1",
    ),
    ("--model-options dense=0,", "dense is (0,); allowed are sequences of whole numbers from 1"),
    ("--model-options kernels=big", "kernels is 'big'; allowed are whole numbers from 1"),
    ("--model-options kernels=(3,),", "allowed are one number, or one for each of (1, 1)"),
    ("--model-options factor=0", "factor is 0; allowed are whole numbers from 1"),
    ("--model-options factor=2.0", "factor is 2.0; allowed are whole numbers from 1"),
    ("--model-options downsamplings=-1", "downsamplings is -1; allowed are whole numbers from 0"),
    ("--model-options local=2", "local is 2; allowed are True and False"),
    ("--model-options num_classes=3", "model option 'num_classes' is not for a run to choose"),
    *(
        (f"--model-options dropout={share}", "allowed are numbers from 0 to below 1")
        for share in ("2", "1.0", "0.9999999999", "-0.5", "1e999", "True", "half")
    ),
    ("--model vit_small --model-options heads=0", "heads is 0; allowed are whole numbers from 1"),
    ("--model vit_small --model-options heads=5", "heads is 5; allowed are divisors of the 384"),
    ("--model resnet20 --model-options blocks=-1,1", "blocks is (-1, 1); allowed are sequences"),
    (
        "--model convnext_tiny --model-options layer_scale=nan",
        "layer_scale is 'nan'; allowed are finite numbers",
    ),
    ("--padding wrong", "padding is 'wrong'; allowed are SAME"),
    ("--head mean", "head is 'mean'; allowed are"),
    ("--model mlp --head gap", "model mlp has no option 'head'; allowed are"),
    ("--model unet", "training needs one vector of logits for each image"),
    ("--model audio1d", "cannot be built for images of shape (32, 32, 1)"),
    # data
    ("--train-split valid", "data set 'digits' has no split 'valid'; it has train, test"),
    ("--train-split train[", "is not a name such as 'train' with an optional slice"),
    ("--test-split test[:0]", "split 'test[:0]' of data set 'digits' is empty"),
    ("--train-split train[:200%]", "allowed are percents up to 100"),
    ("--dataset coco", "data set 'coco' in TFDS's own folder cannot be opened"),
    ("--dataset /etc", "data set /etc has no split 'train'; it has"),
    ("--dataset nope", "unknown data set 'nope'; allowed are 'digits'"),
    ("--dataset ''", "the word behind --dataset is empty"),
    ("--dataset mnist --data-dir nowhere", "data_dir nowhere is not a folder"),
    (_tiny("damaged"), "data set 'tiny' in damaged cannot be opened"),
    (_tiny("records"), "is damaged: "),
    (_tiny("labels"), "labels from 0 to 2; with 2 classes they must be in 0 to 1"),
    (_tiny("tfds", "--train-split dev"), "data set 'tiny' has no split 'dev'"),
    # workdirs
    ("--workdir run", "workdir run already holds a run (config.json); continue it with --resume"),
    ("--workdir=", "--workdir is empty, as of a variable that is not set"),
    ("--workdir lost", "workdir lost holds results of a run without its config.json"),
    ("--workdir file", "workdir file cannot be written"),
    ("--workdir {here}/file/run", "cannot be written"),
    ("--workdir /proc/none/run", "cannot be written"),
    ("--resume", "--resume needs the --workdir of the run"),
    ("--resume --workdir nowhere", "nowhere holds no run of train.py"),
    ("--resume --workdir file", "file holds no run of train.py"),
    ("--resume --workdir cut", "cut/config.json is damaged or not of a run of train.py"),
    ("--resume --workdir foreign", "foreign/config.json is damaged or not of a run of train.py"),
    ("--resume --workdir scale", "must be finite, and std positive"),
    ("--resume --workdir spoilt", "is damaged"),
    ("--resume --workdir run --epochs 1", "epochs is 1, and the run in run has done 2"),
    ("--resume --workdir run --seed 3", "holds a run with seed 0, which cannot be resumed with 3"),
    ("--resume --workdir run --model lenet", "holds a run with model 'mlp', which cannot be"),
    ("--resume --workdir run --preset simard2003-mlp-none", "leave out --preset"),
    ("--resume --workdir run --augment translate", "holds a run with augment 'none', which"),
]

__all__ = ["NAME", "ROWS", "main", "prepare"]
