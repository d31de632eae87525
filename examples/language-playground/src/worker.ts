import { expose } from "comlink";
import { createTrainer } from "./trainer.ts";

expose(createTrainer());
