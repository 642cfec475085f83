// Scores to softmax weights, as all forms of attention have them.
#pragma once

#include <vector>

#include "kernels/reference/reference.h"

namespace deeprack::kernels::reference {

// Turns scores into weights; returns their sum.
double Softmax(SoftmaxWeights kind, std::vector<double>& scores);

}  // namespace deeprack::kernels::reference
