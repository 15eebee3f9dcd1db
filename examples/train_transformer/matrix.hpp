// Names for the Eigen types of the example, and the list of a model's parameters.
#pragma once

#include <Eigen/Core>
#include <rotary/core/config.hpp>
#include <string>
#include <utility>
#include <vector>

namespace train {

using rotary::Index;

/// Activations and weights: one row for each token, [tokens, features].
template <class Scalar>
using Matrix = Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// Biases and gains, one number for each feature.
template <class Scalar>
using RowVector = Eigen::Matrix<Scalar, 1, Eigen::Dynamic, Eigen::RowMajor>;

/// One number for each token.
template <class Scalar>
using ColumnVector = Eigen::Matrix<Scalar, Eigen::Dynamic, 1>;

/// One named parameter of a model, as optimizer and checkpoint see it: its name, its shape and where its
/// numbers are.
template <class Scalar>
struct Parameter {
  std::string name;
  std::vector<Index> shape;
  Scalar* data;

  Index size() const {
    Index product = 1;
    for (const Index extent : shape) product *= extent;
    return product;
  }
  Eigen::Map<Eigen::Array<Scalar, Eigen::Dynamic, 1>> values() const { return {data, size()}; }
};

template <class Scalar>
using Parameters = std::vector<Parameter<Scalar>>;

template <class Scalar>
void list_matrix(std::string name, Matrix<Scalar>& matrix, Parameters<Scalar>& into) {
  into.push_back({std::move(name), {matrix.rows(), matrix.cols()}, matrix.data()});
}

template <class Scalar>
void list_vector(std::string name, RowVector<Scalar>& vector, Parameters<Scalar>& into) {
  into.push_back({std::move(name), {vector.size()}, vector.data()});
}

}  // namespace train
