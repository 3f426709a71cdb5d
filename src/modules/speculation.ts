/** The side file `speculation`: guesses of the next tokens, read in one batch. */
import { registerSpeculation } from '../engine/generate';
import { lookUp } from '../engine/prompt_lookup';

registerSpeculation((state) => lookUp(state));
