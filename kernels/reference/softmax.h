// Softmax weights of scores, for all forms of attention.
#pragma once

#include <vector>

#include "kernels/reference/reference.h"

namespace deeprack::kernels::reference {

// Turns scores into weights; returns their sum.
double Softmax(SoftmaxWeights kind, std::vector<double>& scores);

}  // namespace deeprack::kernels::reference
