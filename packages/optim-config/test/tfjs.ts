import "@tensorflow/tfjs-backend-cpu";
import * as tf from "@tensorflow/tfjs-core";

// Without the advertisement that tfjs-cpu prints in Node.
tf.enableProdMode();
await tf.setBackend("cpu");
