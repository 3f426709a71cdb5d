/** The side file `grammar`: answers that are held to a form. */
import { registerConstraints } from '../engine/constraints';
import { grammarConstraint } from '../engine/grammar_constraint';

registerConstraints(grammarConstraint);
